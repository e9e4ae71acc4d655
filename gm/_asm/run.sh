#!/bin/sh
# run.sh NAME ARGUMENTS…: builds a generator and runs it in the directory that it is
# called from, so that what it notes of its command line is the same everywhere.
set -eu
program=$(mktemp)
trap 'rm -f "$program"' EXIT
name=$1
shift
go -C "$(dirname "$0")" build -o "$program" "./$name"
"$program" "$@"
