# The caches that sysfs shows are the processor's.
# not emulated: emulated processors tell of caches in other leaves than Linux reads
cd /sys/devices/system/cpu/cpu0/cache || exit 1
for index in index*; do
  for name in level type size coherency_line_size number_of_sets physical_line_partition ways_of_associativity; do
    printf '%s %s ' "$name" "$(cat "$index/$name")"
  done
  echo
done
