# Installs the component `program` of the build folder BUILD into PREFIX; the program there says VERSION, and carries no
# library path of the build folder.
file(REMOVE_RECURSE ${PREFIX})
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${PREFIX} --component program
                OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
foreach(file IN ITEMS share/doc/stepvideo/copyright share/doc/stepvideo/README.md share/man/man1/stepvideo.1.gz)
  if(NOT EXISTS ${PREFIX}/${file})
    message(FATAL_ERROR "${file} was not installed")
  endif()
endforeach()
execute_process(COMMAND ${PREFIX}/bin/stepvideo --version OUTPUT_VARIABLE output COMMAND_ERROR_IS_FATAL ANY)
if(NOT output STREQUAL "stepvideo ${VERSION}\n")
  message(FATAL_ERROR "the installed program says '${output}', not stepvideo ${VERSION}")
endif()
