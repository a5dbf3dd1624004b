# `cpack -G DEB` in the build folder: stepvideo (the program), stepvideo-mpi (what it opens under mpirun, where MPI was
# found) and libstepvideo-dev (the headers).
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME stepvideo)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")  # each component's description begins with its own
set(CPACK_COMPONENTS_ALL ${stepvideo_components})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS ${CMAKE_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS})
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME ${stepvideo_program_package})
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SECTION video)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SHLIBDEPS ON)
set(cpu "any CPU of its architecture")
if(CMAKE_CXX_FLAGS MATCHES "-march=([^ ]+)")
  set(cpu "CPUs from ${CMAKE_MATCH_1} on")
endif()
set(CPACK_COMPONENT_PROGRAM_DESCRIPTION
"generates videos from text with Step-Video-T2V
Runs the text-to-video model Step-Video-T2V from prompt to mp4: tokenizers,
text encoders, diffusion transformer and video autoencoder in one program.

This build runs on ${cpu}.")

set(CPACK_DEBIAN_MPI_PACKAGE_NAME ${stepvideo_mpi_package})
set(CPACK_DEBIAN_MPI_PACKAGE_SECTION video)
set(CPACK_DEBIAN_MPI_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_MPI_PACKAGE_DEPENDS "${stepvideo_program_package} (= ${PROJECT_VERSION})")
set(CPACK_COMPONENT_MPI_DESCRIPTION
"generates videos from text with Step-Video-T2V, under mpirun
Ranks of stepvideo that mpirun starts talk to each other over Open MPI with
this library. torchrun and srun start ranks without it.")
if(TARGET stepvideo_mpi)
  set(CPACK_DEBIAN_PROGRAM_PACKAGE_RECOMMENDS ${stepvideo_mpi_package})
endif()

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME ${stepvideo_development_package})
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_RECOMMENDS "cmake, g++ (>= 4:12), libopenblas-dev")
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION
"kernels for video diffusion transformers, as headers
A header-only C++20 and CUDA library: attention, rotary embedding, norms,
causal convolutions, dense layers and samplers, the same calls for the
CPU and for NVIDIA GPUs. CMake finds it as stepvideo::stepvideo, which needs
OpenBLAS, and as stepvideo::kernels, which does not.")

if(STEPVIDEO_EXECUTOR AND STEPVIDEO_NATIVE)
  set(CPACK_PROJECT_CONFIG_FILE ${CMAKE_CURRENT_LIST_DIR}/refuse_native_package.cmake)
endif()
include(CPack)
