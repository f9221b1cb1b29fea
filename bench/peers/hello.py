"""The routes of the example program `hello`, for gunicorn.

From this directory: gunicorn -w 4 -k sync hello:app
"""

import os
import sys
import time

from flask import Flask, request

app = Flask(__name__)

# Simulates a crash at boot while the file exists.
switch = os.environ.get("CRASH_AT_BOOT")
if switch and os.path.exists(switch):
    print(f"error: {switch} exists, so this worker crashes", file=sys.stderr, flush=True)
    os._exit(1)


@app.get("/")
def hello():
    return f"Hello from {os.getpid()}!"


@app.get("/block")
def block():
    time.sleep(int(request.args["ms"]) / 1000)
    return hello()
