#!/usr/bin/env bash
# Installs Jupyter and the Go kernel for this checkout alone, below .cure: nothing of the user's own Jupyter, kernels or
# Go tools is touched. Run again, it does only what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
gopls_version=v0.21.1
tools_version=v0.44.0
venv=$root/.cure/venv
bin=$root/.cure/bin
log=$root/.cure/log
mkdir -p "$bin" "$log"

# Jupyter: made anew when the pinned versions or the checkout's place change (environments hold absolute paths).
state="$root $(cat notebooks/requirements.txt notebooks/constraints.txt)"
if [ "$(cat "$venv/state" 2>/dev/null || true)" != "$state" ]; then
	echo "Jupyter: installing $(tr '\n' ' ' <notebooks/requirements.txt)into .cure/venv"
	rm -rf "$venv"
	if ! python3 -m venv "$venv" >"$log/venv.log" 2>&1; then
		rm -rf "$venv"
		echo "setup: python3 cannot make virtual environments: install its venv module (Debian and Ubuntu: python3-venv); see .cure/log/venv.log" >&2
		exit 1
	fi
	constraints=()
	if "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11, 5))'; then
		constraints=(-c notebooks/constraints.txt)
	fi
	"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input -r notebooks/requirements.txt "${constraints[@]}"
	printf '%s' "$state" >"$venv/state"
fi

# The kernel and the two programs that it calls.
go build -o "$bin/gonb" github.com/janpfeifer/gonb
tool() { # name, package, module, version
	if ! go version -m "$bin/$1" 2>/dev/null | grep -q "mod.*$3[[:space:]]*$4[[:space:]]"; then
		echo "kernel: building $1 $4"
		GOBIN=$bin go install "$2@$4"
	fi
}
tool goimports golang.org/x/tools/cmd/goimports golang.org/x/tools "$tools_version"
tool gopls golang.org/x/tools/gopls golang.org/x/tools/gopls "$gopls_version"
ln -sf ../../notebooks/connect "$bin/cure-connect"

# Registered inside the environment, where only its own Jupyter looks.
kernel=$venv/share/jupyter/kernels/gonb/kernel.json
if ! grep -q "$bin/gonb" "$kernel" 2>/dev/null || ! grep -q '"PATH"' "$kernel"; then
	JUPYTER_DATA_DIR=$venv/share/jupyter PATH=$bin:$PATH "$bin/gonb" --install \
		--logtostderr=false --log_dir="$log" --stderrthreshold=FATAL >"$log/kernel.log" 2>&1
	sed -i.old "s|\"env\":{}|\"env\":{\"PATH\":\"$bin:\${PATH}\"}|" "$kernel"
	rm -f "$kernel.old"
fi
echo "Jupyter: $("$venv/bin/jupyter-lab" --version) with the Go kernel is ready in .cure"
