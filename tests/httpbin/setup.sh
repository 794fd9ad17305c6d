#!/usr/bin/env bash
# Builds the three Python environments of this test below DIR: two true versions of one application,
# each with the libraries of its day, and the clients. Does nothing when they are there already.
set -euo pipefail
dir=${1:?usage: setup.sh DIR}
here=$(cd "$(dirname "$0")" && pwd)
stamp=$dir/$(cat "$here/setup.sh" | sha256sum | cut -c1-16).ready
[ -e "$stamp" ] && exit 0
rm -rf "$dir" && mkdir -p "$dir"
make() { # NAME PACKAGES…
  echo "httpbin: installing $1"
  python3 -m venv "$dir/$1"
  "$dir/$1/bin/pip" install --quiet --disable-pip-version-check "${@:2}"
}
# raven and gunicorn look for pkg_resources, which left setuptools later.
make legacy 'httpbin==0.7.0' 'Werkzeug>=0.15,<0.17' 'Flask>=1.0,<1.2' 'Jinja2>=2,<3' 'MarkupSafe<2' \
  'itsdangerous<2' 'setuptools<80' 'gunicorn>=23'
make candidate 'httpbin[mainapp]>=0.10,<0.11' 'gunicorn>=23'
make client requests httpx brotli
touch "$stamp"
