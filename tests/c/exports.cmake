# LIBRARY exports the functions that HEADER declares, all of them and nothing else.
execute_process(COMMAND ${NM} --dynamic --defined-only --format=posix ${LIBRARY} OUTPUT_VARIABLE output
                COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n ]+ [A-Za-z] [^\n]*" lines "${output}")
list(TRANSFORM lines REPLACE " .*" "" OUTPUT_VARIABLE exported)
file(READ ${HEADER} text)
string(REGEX MATCHALL "STEPVIDEO_API [a-z_ *]*stepvideo_[a-z0-9_]+\\(" declared "${text}")
list(TRANSFORM declared REPLACE ".*(stepvideo_[a-z0-9_]+)\\($" "\\1")
list(SORT exported)
list(SORT declared)
if(NOT declared OR NOT exported STREQUAL declared)
  message(FATAL_ERROR "exported:\n${exported}\nand declared:\n${declared}")
endif()
