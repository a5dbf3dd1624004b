# The libraries that the headers need: stepvideo::openblas, and where the language CUDA is enabled stepvideo::cuda and
# stepvideo::matmul, which programs link themselves that call linear on the GPU, and, where nccl.h is found,
# stepvideo::nccl, for those that include comm/nccl_wire.hpp. Where OpenBLAS is not found there is no
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

set(STEPVIDEO_NCCL "" CACHE PATH "The folder of NCCL: nccl.h is in it or in its include/; empty: where CUDA or the system has it")
if("CUDA" IN_LIST stepvideo_languages AND NOT TARGET stepvideo::nccl)
  if(STEPVIDEO_NCCL)
    find_path(nccl_include nccl.h PATHS ${STEPVIDEO_NCCL} PATH_SUFFIXES include NO_DEFAULT_PATH NO_CACHE)
    set(nccl_missing "STEPVIDEO_NCCL is ${STEPVIDEO_NCCL}, where no nccl.h is, nor in its include/")
  else()
    find_path(nccl_include nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS} NO_CACHE)
  endif()
  if(nccl_include)
    file(STRINGS ${nccl_include}/nccl.h nccl_version REGEX "^#define NCCL_(MAJOR|MINOR) ")
    string(REGEX MATCHALL "[0-9]+" nccl_version "${nccl_version}")
    list(JOIN nccl_version "." nccl_version)
    set(nccl_missing "STEPVIDEO_NCCL is ${STEPVIDEO_NCCL}, which has NCCL ${nccl_version}")
  endif()
  if(nccl_include AND nccl_version VERSION_GREATER_EQUAL 2.22)
    # Headers alone: the library is looked for when a program runs.
    add_library(stepvideo::nccl INTERFACE IMPORTED GLOBAL)
    target_include_directories(stepvideo::nccl INTERFACE ${nccl_include} ${CUDAToolkit_INCLUDE_DIRS})
    target_link_libraries(stepvideo::nccl INTERFACE ${CMAKE_DL_LIBS})
  elseif(STEPVIDEO_NCCL)
    message(FATAL_ERROR "${nccl_missing}; the folder of an NCCL of 2.22 or later works")
  endif()
  unset(nccl_include)
  unset(nccl_missing)
  unset(nccl_version)
elseif(STEPVIDEO_NCCL AND NOT TARGET stepvideo::nccl)
  message(FATAL_ERROR "STEPVIDEO_NCCL is ${STEPVIDEO_NCCL} and this build has no CUDA, without which there is no NCCL; "
                      "a build with CUDA (STEPVIDEO_CUDA=ON) works")
endif()
unset(stepvideo_languages)
