"""What a sandbox of AWS Lambda does once for all of its tasks; the tasks themselves are in ``compute/test_lithops.py``."""

import subprocess
import sys

import pytest

pytest.importorskip("lithops", reason="the extra lithops is not installed")
pytest.importorskip("boto3", reason="the extra lithops is not installed")

CLIENTS = """
import botocore.loaders
read, load_file = [], botocore.loaders.JSONFileLoader.load_file
botocore.loaders.JSONFileLoader.load_file = lambda self, path: (read.append(path), load_file(self, path))[1]
import geo_assets.doors.lambda_worker
import boto3
for _ in range(3):
    read.clear()
    boto3.Session(aws_access_key_id="a", aws_secret_access_key="b").client("s3", region_name="us-west-2")
    print(len(read))
"""


def test_a_sandbox_reads_the_description_of_s3_once(tmp_path):
    environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", CLIENTS], env=environment, capture_output=True, text=True, check=True)
    first, *others = map(int, done.stdout.split())
    assert first > 0
    assert others == [0, 0]
