# A package goes to other machines, where a program for this machine's CPU would die of an illegal instruction.
if(CPACK_GENERATOR STREQUAL "DEB")
  message(FATAL_ERROR "This build is for this machine's CPU alone (STEPVIDEO_NATIVE=ON); package one that runs "
                      "elsewhere: cmake --preset portable && cmake --build --preset portable && "
                      "cpack -G DEB --config build/portable/CPackConfig.cmake")
endif()
