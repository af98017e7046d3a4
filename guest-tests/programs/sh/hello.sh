# The first thing that anyone tries.
echo hello from "$(uname -s)" | tr a-z A-Z
