#!/usr/bin/env bash
# s3fs 2026.9.0 with aiobotocore 3.10: fs.sign() of an S3 object gives a URL signed by version 2 (query parameters
# AWSAccessKeyId, Signature), in regions of the old kind, though every request that the same file system makes is signed
# by version 4. Buckets of newer regions, and stores that speak version 4 alone, refuse such a URL.
#
# Guess before the run: a signed URL is of version 4, as the requests are.
# Seen:
#   s3fs 2026.9.0: sign() in us-east-1: AWSAccessKeyId, Expires, Signature; with signature_version s3v4: X-Amz-...
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet s3fs==2026.9.0 fsspec==2026.9.0 aiobotocore==3.10.0 botocore==1.43.117 \
  python-dateutil==2.9.0.post0
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from urllib.parse import parse_qs, urlsplit

import s3fs

told = {"key": "AKIAEXAMPLE", "secret": "example", "client_kwargs": {"region_name": "us-east-1"}}
plain = s3fs.S3FileSystem(**told).sign("bucket/key")
four = s3fs.S3FileSystem(**told, config_kwargs={"signature_version": "s3v4"}).sign("bucket/key")
names = [sorted(parse_qs(urlsplit(url).query)) for url in (plain, four)]
print(f"s3fs {s3fs.__version__}: sign() in us-east-1: {', '.join(names[0])}; with signature_version s3v4: {', '.join(names[1])}")
old = names[0] == ["AWSAccessKeyId", "Expires", "Signature"]
sys.exit(0 if old and "X-Amz-Signature" in names[1] else "the behaviour has changed")
PYTHON
