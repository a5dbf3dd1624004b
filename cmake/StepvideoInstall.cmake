# What `cmake --install` puts where, in components: `development` is the headers, their CMake package and the examples;
# `program` is the executor; `mpi`, where MPI is found, is what it opens under mpirun. Documentation lies where Debian expects each component's package to keep it.
include(CMakePackageConfigHelpers)

set(CMAKE_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PACKAGE_CONTACT "stepvideo maintainers <maintainers@stepvideo.invalid>" CACHE STRING
    "Who answers for the Debian packages")
set(stepvideo_program_package stepvideo)
set(stepvideo_mpi_package stepvideo-mpi)
set(stepvideo_development_package libstepvideo-dev)

# Headers are the same for every architecture, hence share/ and not lib/.
set(stepvideo_cmake_folder ${CMAKE_INSTALL_DATADIR}/cmake/stepvideo)
install(DIRECTORY include/stepvideo DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development
        FILES_MATCHING PATTERN "*.hpp" PATTERN "*.cuh")
install(TARGETS stepvideo_kernels EXPORT stepvideo-kernels)
install(TARGETS stepvideo EXPORT stepvideo)
foreach(export IN ITEMS stepvideo-kernels stepvideo)
  install(EXPORT ${export} NAMESPACE stepvideo:: FILE ${export}-targets.cmake DESTINATION ${stepvideo_cmake_folder}
          COMPONENT development)
endforeach()
configure_package_config_file(cmake/stepvideo-config.cmake.in stepvideo-config.cmake
                              INSTALL_DESTINATION ${stepvideo_cmake_folder} NO_SET_AND_CHECK_MACRO)
# Until 1.0 a new minor version may change what callers write.
write_basic_package_version_file(stepvideo-config-version.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/stepvideo-config.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/stepvideo-config-version.cmake cmake/StepvideoLibraries.cmake
        DESTINATION ${stepvideo_cmake_folder} COMPONENT development)
# For builds that are not CMake's: pkg-config finds the headers from where the file lies.
foreach(name IN ITEMS stepvideo stepvideo-kernels)
  configure_file(cmake/${name}.pc.in ${name}.pc @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_DATADIR}/pkgconfig COMPONENT development)
endforeach()
install(DIRECTORY examples/ DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${stepvideo_development_package}/examples
        COMPONENT development FILES_MATCHING PATTERN "*.cpp" PATTERN "*.cu" PATTERN "*.md")

# A component of its own: Debian has the licence's text in /usr/share/common-licenses, and packages do not repeat it.
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${stepvideo_program_package} COMPONENT licence)

if(STEPVIDEO_EXECUTOR)
  install(TARGETS stepvideo_executable RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT program)
  install(FILES README.md DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${stepvideo_program_package} COMPONENT program)
  install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${stepvideo_program_package}/docs
          COMPONENT program FILES_MATCHING PATTERN "*.md")
endif()

# cmake/debian/FILE, with the version filled in, at FOLDER/NAME; compressed where NAME ends in .gz.
find_program(GZIP gzip)
mark_as_advanced(GZIP)
function(stepvideo_install_text file folder name component)
  set(text ${CMAKE_CURRENT_BINARY_DIR}/debian/${component}/${file})
  configure_file(cmake/debian/${file}.in ${text} @ONLY)
  if(name MATCHES "\\.gz$")
    if(NOT GZIP)
      return()
    endif()
    execute_process(COMMAND ${GZIP} -9nc ${text} OUTPUT_FILE ${text}.gz COMMAND_ERROR_IS_FATAL ANY)
    set(text ${text}.gz)
  endif()
  install(FILES ${text} DESTINATION ${CMAKE_INSTALL_DATADIR}/${folder} RENAME ${name} COMPONENT ${component})
endfunction()

set(stepvideo_components development)
if(STEPVIDEO_EXECUTOR)
  list(APPEND stepvideo_components program)
  stepvideo_install_text(stepvideo.1 man/man1 stepvideo.1.gz program)
endif()
if(TARGET stepvideo_mpi)
  list(APPEND stepvideo_components mpi)
endif()
foreach(component IN LISTS stepvideo_components)
  set(package ${stepvideo_${component}_package})
  stepvideo_install_text(copyright doc/${package} copyright ${component})
  stepvideo_install_text(changelog doc/${package} changelog.gz ${component})
endforeach()

if(PROJECT_IS_TOP_LEVEL)
  include(StepvideoPackage)
endif()
