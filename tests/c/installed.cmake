# Installs the component `c` of the build folder BUILD into PREFIX and builds the SOURCES in the folder SOURCE with what lies there alone; it runs.
file(REMOVE_RECURSE ${PREFIX})
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${PREFIX} --component c OUTPUT_QUIET
                COMMAND_ERROR_IS_FATAL ANY)
list(TRANSFORM SOURCES PREPEND ${SOURCE}/)
execute_process(COMMAND ${CC} -std=c99 -I${PREFIX}/include -DSTEPVIDEO_EXPECTED_VERSION="${VERSION}" ${SOURCES}
                        -o ${PREFIX}/program -L${PREFIX}/${LIBDIR} -lstepvideo_c -lm -Wl,-rpath,${PREFIX}/${LIBDIR}
                COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${PREFIX}/program COMMAND_ERROR_IS_FATAL ANY)
