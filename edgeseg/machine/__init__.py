"""Own how the machine is read: /proc, /sys and NVML, once and in time. Judge and draw nothing."""
