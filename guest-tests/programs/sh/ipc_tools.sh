# util-linux's ipcmk, ipcs and ipcrm, in an IPC namespace of their own. Keys, times and process numbers differ each time.
run() {
unshare --ipc sh -s <<'SCRIPT'
same() { sed -E 's/0x[0-9a-f]{8}/KEY/; s/ +/ /g; s/(=| )(Mon|Tue|Wed|Thu|Fri|Sat|Sun) .*/\1TIME/; s/pid=[0-9]+/pid=PID/g'; }
ipcmk --shmem 10000 --mode 0640
ipcmk --semaphore 4 --mode 0600
ipcmk --queue --mode 0622
ipcs --all | same
ipcs --all --creator | same
ipcs --limits
ipcs --summary
for kind in m s q; do ipcs -$kind -i 0 | same; done
ipcrm --shmem-id 0 --semaphore-id 0 --queue-id 0
ipcrm --shmem-id 0
ipcs
ipcmk --queue
ipcmk --shmem 1
ipcrm --all
cat /proc/sysvipc/*
SCRIPT
}
run 2>&1
