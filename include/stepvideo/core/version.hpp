// The library's version, for code that includes headers of more than one. Before 1.0 a new minor version may
// change what callers write, and CHANGELOG.md says how; a new patch does not.
#pragma once

#define STEPVIDEO_VERSION_MAJOR 0
#define STEPVIDEO_VERSION_MINOR 1
#define STEPVIDEO_VERSION_PATCH 0
