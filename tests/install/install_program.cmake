# Installs the components `program` and `licence` of the build folder BUILD into PREFIX; the program there says VERSION.
file(REMOVE_RECURSE ${PREFIX})
foreach(component IN ITEMS program licence)
  execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${PREFIX} --component ${component}
                  OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
endforeach()
foreach(file IN ITEMS share/doc/stepvideo/LICENSE share/doc/stepvideo/copyright share/doc/stepvideo/README.md
                      share/man/man1/stepvideo.1.gz)
  if(NOT EXISTS ${PREFIX}/${file})
    message(FATAL_ERROR "${file} was not installed")
  endif()
endforeach()
execute_process(COMMAND ${PREFIX}/bin/stepvideo --version OUTPUT_VARIABLE output COMMAND_ERROR_IS_FATAL ANY)
if(NOT output STREQUAL "stepvideo ${VERSION}\n")
  message(FATAL_ERROR "the installed program says '${output}', not stepvideo ${VERSION}")
endif()
