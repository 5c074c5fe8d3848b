#!/bin/sh
# Installs sihl from this folder and nothing else, on a cluster that reaches a registry of yours:
#   ./install.sh [--push-only] REGISTRY [options of helm ...]
# REGISTRY is a host with or without a path: registry.example.org/mirror. Log in to it first, if it
# asks who you are: bin/crane auth login REGISTRY -u USER -p PASSWORD. Where it has no TLS: INSECURE=1.
set -eu
usage="usage: ./install.sh [--push-only] REGISTRY [options of helm ...]"
push_only=
if [ "${1:-}" = --push-only ]; then push_only=1; shift; fi
registry=${1:-}
case $registry in
  "" | -*) echo "$usage" >&2; exit 2 ;;
  *://*) echo "give the registry as HOST or HOST/PATH, not as a URL: $registry" >&2; exit 2 ;;
esac
shift
here=$(cd "$(dirname "$0")" && pwd)

echo "checking the files ..."
(cd "$here" && sha256sum --check --strict --quiet SHA256SUMS) || {
  echo "this folder is not what was bundled: copy it again" >&2
  exit 1
}
chart=$(ls "$here"/sihl-*.tgz)
version=${chart##*/sihl-}
version=${version%.tgz}
for image in "$here"/images/*; do
  name=${image##*/}
  echo "pushing $registry/sihl/$name:$version ..."
  "$here/bin/crane" push ${INSECURE:+--insecure} --index "$image" "$registry/sihl/$name:$version"
done
if [ -n "$push_only" ]; then
  echo "now: helm install sihl $chart -f $here/images.yaml --set global.imageRegistry=$registry ..."
  exit 0
fi
exec "$here/bin/helm" upgrade --install sihl "$chart" --namespace sihl-system --create-namespace \
  --values "$here/images.yaml" --set "global.imageRegistry=$registry" "$@"
