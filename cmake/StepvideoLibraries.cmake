# The libraries that the headers need: stepvideo::openblas, and where the language CUDA is enabled stepvideo::cuda and
# stepvideo::matmul, which programs link themselves that call linear on the GPU. Where OpenBLAS is not found there is no
# stepvideo::openblas, and stepvideo_openblas_missing says what would help. Installed beside stepvideo-config.cmake, which includes
# it.
if(NOT TARGET stepvideo::openblas)
  find_path(OPENBLAS_INCLUDE cblas.h PATH_SUFFIXES openblas openblas-pthread x86_64-linux-gnu)
  find_library(OPENBLAS_LIBRARY NAMES openblas)
  mark_as_advanced(OPENBLAS_INCLUDE OPENBLAS_LIBRARY)
  if(OPENBLAS_INCLUDE AND OPENBLAS_LIBRARY)
    add_library(stepvideo::openblas INTERFACE IMPORTED GLOBAL)
    target_include_directories(stepvideo::openblas INTERFACE ${OPENBLAS_INCLUDE})
    target_link_libraries(stepvideo::openblas INTERFACE ${OPENBLAS_LIBRARY})
  else()
    set(stepvideo_openblas_missing
        "OpenBLAS was not found (cblas.h, libopenblas); on Debian: apt-get install libopenblas-dev")
  endif()
endif()

get_property(stepvideo_languages GLOBAL PROPERTY ENABLED_LANGUAGES)
if("CUDA" IN_LIST stepvideo_languages AND NOT TARGET stepvideo::cuda)
  find_package(CUDAToolkit REQUIRED GLOBAL)
  add_library(stepvideo::cuda INTERFACE IMPORTED GLOBAL)
  # The runtime that the target which links this has chosen: two of them in one program would not share their state.
  set(runtime $<LOWER_CASE:$<TARGET_PROPERTY:CUDA_RUNTIME_LIBRARY>>)
  target_link_libraries(stepvideo::cuda INTERFACE
    $<IF:$<STREQUAL:${runtime},shared>,CUDA::cudart,CUDA::cudart_static>)
  unset(runtime)
  add_library(stepvideo::matmul INTERFACE IMPORTED GLOBAL)
  target_link_libraries(stepvideo::matmul INTERFACE CUDA::cublasLt)
endif()
unset(stepvideo_languages)
