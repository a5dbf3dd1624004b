# OpenBLAS with its C interface as stepvideo::openblas. Where it is not found there is no such target, and
# stepvideo_openblas_missing says what would help. Installed beside stepvideo-config.cmake, which includes it.
if(TARGET stepvideo::openblas)
  return()
endif()
find_path(OPENBLAS_INCLUDE cblas.h PATH_SUFFIXES openblas openblas-pthread x86_64-linux-gnu)
find_library(OPENBLAS_LIBRARY NAMES openblas)
mark_as_advanced(OPENBLAS_INCLUDE OPENBLAS_LIBRARY)
if(NOT OPENBLAS_INCLUDE OR NOT OPENBLAS_LIBRARY)
  set(stepvideo_openblas_missing
      "OpenBLAS was not found (cblas.h, libopenblas); on Debian: apt-get install libopenblas-dev")
  return()
endif()
add_library(stepvideo::openblas INTERFACE IMPORTED GLOBAL)
target_include_directories(stepvideo::openblas INTERFACE ${OPENBLAS_INCLUDE})
target_link_libraries(stepvideo::openblas INTERFACE ${OPENBLAS_LIBRARY})
