// What the host's threads take where addresses are limited.
#pragma once

namespace stepvideo {

/// Under a limit of addresses (ulimit -v) this thread's OpenMP threads are made, and OpenBLAS is given what
/// its products on them take, for good: later the one would end the process and the other ask for ever.
/// Throws Error where the limit leaves less. Elsewhere does nothing.
void take_thread_room();

}  // namespace stepvideo
