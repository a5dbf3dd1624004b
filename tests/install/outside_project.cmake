# Configures PROJECT into SCRATCH against the installation in PREFIX or the source STEPVIDEO_SOURCE, builds it and runs
# its program, which must print a line that matches EXPECTED.
file(REMOVE_RECURSE ${SCRATCH})
set(options -DCMAKE_CXX_COMPILER=${CXX} -DCMAKE_PREFIX_PATH=${PREFIX} -DCMAKE_BUILD_TYPE=Debug
            -DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF)
if(PROJECT MATCHES "cuda$")
  list(APPEND options -DCMAKE_CUDA_COMPILER=${CUDA} -DCMAKE_CUDA_HOST_COMPILER=${CXX})
endif()
if(PROJECT MATCHES "subdirectory")
  list(APPEND options -DSTEPVIDEO_SOURCE=${STEPVIDEO_SOURCE})
endif()
execute_process(COMMAND ${CMAKE_COMMAND} -S ${PROJECT} -B ${SCRATCH} -G ${GENERATOR} ${options} OUTPUT_VARIABLE output
                COMMAND_ERROR_IS_FATAL ANY)
string(REGEX REPLACE "\\." "\\\\." version "${VERSION}")
if(PROJECT MATCHES "find_package" AND NOT output MATCHES "found stepvideo ${version}\n")
  message(FATAL_ERROR "the package of version ${VERSION} was not found:\n${output}")
endif()
execute_process(COMMAND ${CMAKE_COMMAND} --build ${SCRATCH} COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${SCRATCH}/outside OUTPUT_VARIABLE output COMMAND_ERROR_IS_FATAL ANY)
if(NOT output MATCHES "^(${EXPECTED})\n$")
  message(FATAL_ERROR "the program prints '${output}', not '${EXPECTED}'")
endif()
