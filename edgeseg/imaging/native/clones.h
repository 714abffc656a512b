// One function, several instruction sets: the loader picks the best that the CPU has.
#pragma once

// ifunc resolvers run before the sanitizers are ready, and exist on x86-64 glibc only.
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__SANITIZE_ADDRESS__) && !defined(EDGESEG_NO_CLONES)
#define EDGESEG_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define EDGESEG_CLONES
#endif
