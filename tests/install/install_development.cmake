# Installs the component `development` of the build folder BUILD, moves the result to PREFIX (nothing in it may know
# where it was first), and looks for what belongs there: every header of SOURCE, the CMake package, the examples.
file(REMOVE_RECURSE ${PREFIX} ${PREFIX}.first)
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${PREFIX}.first --component development
                OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
file(RENAME ${PREFIX}.first ${PREFIX})

file(GLOB_RECURSE expected RELATIVE ${SOURCE} ${SOURCE}/include/*.hpp ${SOURCE}/include/*.cuh)
file(GLOB_RECURSE installed RELATIVE ${PREFIX} ${PREFIX}/include/*)
if(NOT expected STREQUAL installed)
  message(FATAL_ERROR "installed headers:\n${installed}\nand in the source:\n${expected}")
endif()
foreach(file IN ITEMS share/cmake/stepvideo/stepvideo-config.cmake share/cmake/stepvideo/stepvideo-config-version.cmake
                      share/doc/libstepvideo-dev/copyright share/doc/libstepvideo-dev/examples/attention.cpp
                      share/doc/libstepvideo-dev/examples/attention.cu)
  if(NOT EXISTS ${PREFIX}/${file})
    message(FATAL_ERROR "${file} was not installed")
  endif()
endforeach()

file(GLOB_RECURSE package ${PREFIX}/share/cmake/*)
foreach(file IN LISTS package)
  file(READ ${file} text)
  foreach(folder IN ITEMS ${BUILD} ${SOURCE} ${PREFIX}.first)
    string(FIND "${text}" "${folder}/" place)
    if(NOT place EQUAL -1)
      message(FATAL_ERROR "${file} names ${folder}, which other machines do not have")
    endif()
  endforeach()
endforeach()
