#!/bin/bash
# Every message of the broker into files, one a day.
DIR=@PI@/mqtt
mosquitto_sub --cafile /etc/mosquitto/ca_certificates/ca.crt --insecure -h 127.0.0.1 -p 1883 -u user -P passwd \
  -t '#' -F '%I %t %p' | rotatelogs "$DIR/mqtt-%Y.%m.%d.log" 86400
