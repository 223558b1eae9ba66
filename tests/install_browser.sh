#!/usr/bin/env bash
# Make sure that the browser tests have a Chrome or Chromium: an installed one, Debian's, or Playwright's own.
set -euo pipefail

[ -n "${CHROME_PATH:-}" ] && [ -x "${CHROME_PATH}" ] && exit 0
for name in chromium chromium-browser google-chrome google-chrome-stable chrome; do
  command -v "$name" >/dev/null 2>&1 && exit 0
done

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  export DEBIAN_FRONTEND=noninteractive
  # Where this fails (Ubuntu's chromium is a snap, a mirror is away), Playwright's own may still do.
  apt-get update -qq >/dev/null &&
    apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null &&
    command -v chromium >/dev/null 2>&1 && chromium --version >/dev/null 2>&1 && exit 0
fi

"${PYTHON:-.venv/bin/python}" -m playwright install chromium || {
  echo "no Chrome or Chromium found, and none could be installed; install one or set CHROME_PATH" >&2
  exit 1
}
