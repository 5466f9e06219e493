/** Where the broker's parts stand on the machine. */
export const brokerPlaces = {
  /** Our drop-in; the packaged mosquitto.conf is never edited. */
  dropIn: "/etc/mosquitto/conf.d/sensorlog.conf",
  /** What Mosquitto reads after it has given up root. */
  dir: "/etc/mosquitto/sensorlog",
  passwords: "/etc/mosquitto/sensorlog/passwords",
  acl: "/etc/mosquitto/sensorlog/acl",
  certificate: "/etc/mosquitto/sensorlog/broker.crt",
  key: "/etc/mosquitto/sensorlog/broker.key",
  /** The CA. Mosquitto sees nothing of it. */
  pkiDir: "/etc/sensorlog/pki",
  caCertificate: "/etc/sensorlog/pki/ca.crt",
  caKey: "/etc/sensorlog/pki/ca.key",
  nextCaKey: "/etc/sensorlog/pki/next-ca.key",
} as const;

export const brokerUnit = "mosquitto.service";
