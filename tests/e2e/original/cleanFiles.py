"""Removes message files that Filebeat has shipped whole, by its registry. Run weekly by root's crontab."""
import json
import os
import sys

with open(sys.argv[1]) as registry:
    entries = json.load(registry)
newest = max((entry["source"] for entry in entries), default=None)
for entry in entries:
    path = entry["source"]
    if path != newest and os.path.exists(path) and os.path.getsize(path) <= entry["offset"]:
        os.remove(path)
