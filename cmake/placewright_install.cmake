# What is installed: libplacewright and the code generator that it opens, public headers, tools, the CMake package and the
# pkg-config file. Headers need nothing but the standard library, so the package has no dependencies to find.
include(CMakePackageConfigHelpers)

install(TARGETS placewright EXPORT placewright
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET placewright-llvm)
  install(TARGETS placewright-llvm LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
if(TARGET placewright_tool)
  install(TARGETS placewright_tool RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
# What `placewright bench --peers` starts.
install(FILES bench/peers.py DESTINATION ${CMAKE_INSTALL_DATADIR}/placewright/bench)
install(DIRECTORY tools/machines DESTINATION ${CMAKE_INSTALL_DATADIR}/placewright FILES_MATCHING PATTERN "*.machine")
install(FILES scripts/make_reference.py DESTINATION ${CMAKE_INSTALL_DATADIR}/placewright/scripts)
foreach(folder IN LISTS folders)
  if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/include)
    install(DIRECTORY ${folder}/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
      FILES_MATCHING PATTERN "*.h" PATTERN "*.def")
  endif()
endforeach()

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/placewright)
install(EXPORT placewright NAMESPACE placewright:: DESTINATION ${package} FILE placewright-targets.cmake)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/placewright-config.cmake.in
  ${CMAKE_CURRENT_BINARY_DIR}/placewright-config.cmake INSTALL_DESTINATION ${package})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/placewright-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/placewright-config.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/placewright-config-version.cmake DESTINATION ${package})

configure_file(${CMAKE_CURRENT_LIST_DIR}/placewright.pc.in ${CMAKE_CURRENT_BINARY_DIR}/placewright.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/placewright.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
