"""gunicorn's side of flask_app.py: what the manual of prometheus_client tells one to do."""
import glob
import os

from prometheus_client import multiprocess

bind = "127.0.0.1:" + os.environ.get("PORT", "5200")
workers = 2
control_socket_disable = True


def when_ready(server):
    # Python's client cannot tell whose files they are, so everybody's go.
    for path in glob.glob(os.path.join(os.environ["PROMETHEUS_MULTIPROC_DIR"], "*.db")):
        os.remove(path)


def child_exit(server, worker):
    multiprocess.mark_process_dead(worker.pid)
