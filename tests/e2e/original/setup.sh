#!/bin/sh
# Sets the original up with the commands of its own manual, as far as they concern this machine. $1: home folder of the
# user pi, who has no sudo here: all of it runs as root. The files beside this one lie in $2.
set -eu
pi=$1
files=$2
conf=/etc/mosquitto/mosquitto.conf
mkdir -p "$pi"
cd "$pi"

# broker: accounts
echo "user:passwd" > mqttpwdfile
mosquitto_passwd -U mqttpwdfile
mv mqttpwdfile /etc/mosquitto/
sh -c "echo 'allow_anonymous false' >> $conf"
sh -c "echo 'password_file /etc/mosquitto/mqttpwdfile' >> $conf"

# broker: CA and certificate
openssl genrsa -des3 -passout pass:passwd -out ca.key 2048
openssl req -new -x509 -days 3650 -key ca.key -out ca.crt -passin pass:passwd \
  -subj "/C=ES/ST=Pontevedra/L=Vigo/O=SInd/CN=Ca-MQTT-SInd"
openssl genrsa -out broker.key 2048
openssl req -new -out broker.csr -key broker.key -subj "/C=ES/ST=Pontevedra/L=Vigo/O=SInd/CN= MQTT-SInd" \
  -extensions v3_ca -addext "subjectAltName=IP: 192.168.1.46"
openssl x509 -req -in broker.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out broker.crt -passin pass:passwd -days 3650
openssl verify -CAfile ca.crt broker.crt
cp ca.crt /etc/mosquitto/ca_certificates/
cp broker.crt broker.key /etc/mosquitto/certs/
sh -c "echo 'cafile /etc/mosquitto/ca_certificates/ca.crt' >> $conf"
sh -c "echo 'certfile /etc/mosquitto/certs/broker.crt' >> $conf"
sh -c "echo 'keyfile /etc/mosquitto/certs/broker.key' >> $conf"
sh -c "echo 'tls_version tlsv1.2' >> $conf"

# what an upgrade to Mosquitto 2 asked for: it reads these files after it has given up root
chown mosquitto: /etc/mosquitto/mqttpwdfile /etc/mosquitto/certs/broker.key
systemctl restart mosquitto

# messages into files, files to the cloud, and away with them
mkdir -p "$pi/mqtt"
for name in mqtt_sub.sh cleanFiles.py; do sed "s|@PI@|$pi|g" "$files/$name" > "$pi/$name"; done
chmod 755 "$pi/mqtt_sub.sh"
for name in stMQTT.service stVPN.service; do sed "s|@PI@|$pi|g" "$files/$name" > "/etc/systemd/system/$name"; done
mkdir -p /etc/filebeat /var/lib/filebeat/registry/filebeat
sed "s|@PI@|$pi|g" "$files/filebeat.yml" > /etc/filebeat/filebeat.yml

# two programs that are not to be had here: they stand there and do nothing
for name in openvpn filebeat; do
  printf '#!/bin/sh\nexec sleep infinity\n' > "/usr/sbin/$name"
  chmod 755 "/usr/sbin/$name"
done
touch "$pi/client.ovpn"
printf '[Service]\nExecStart=/usr/sbin/filebeat -c /etc/filebeat/filebeat.yml\n[Install]\nWantedBy=multi-user.target\n' \
  > /lib/systemd/system/filebeat.service
echo '[]' > /var/lib/filebeat/registry/filebeat/data.json

(crontab -l 2>/dev/null || :; echo "@weekly /usr/bin/python3 $pi/cleanFiles.py /var/lib/filebeat/registry/filebeat/data.json") |
  crontab -
systemctl daemon-reload
systemctl enable --quiet --now stVPN stMQTT filebeat
