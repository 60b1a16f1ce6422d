# Options, compiler flags, and the one function that makes a folder of the project into a CMake target.

option(PLACEWRIGHT_LLVM "Build the CPU code generator (needs LLVM 19)" ON)
option(PLACEWRIGHT_TESTS "Build the tests" ON)
option(PLACEWRIGHT_PROGRAMS "Build tools, examples and benches" ON)
option(PLACEWRIGHT_WERROR "Treat warnings as errors" OFF)
option(PLACEWRIGHT_PORTABLE "Programs and tests find what they need relative to themselves: for archives (gpu-pack)" OFF)
set(PLACEWRIGHT_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize= takes them: address,undefined or thread")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
# The library calls its own copies of inline functions, never those of what is linked to it.
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
if(PLACEWRIGHT_PORTABLE)
  set(CMAKE_BUILD_WITH_INSTALL_RPATH ON)
  set(CMAKE_INSTALL_RPATH $ORIGIN/../lib)
endif()
string(REPLACE "-O3" "-O2" CMAKE_CXX_FLAGS_RELEASE "${CMAKE_CXX_FLAGS_RELEASE}")

find_program(PLACEWRIGHT_CCACHE ccache)
if(PLACEWRIGHT_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # What ccache's manual asks for where headers are precompiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${PLACEWRIGHT_CCACHE})
endif()
find_program(PLACEWRIGHT_LLD NAMES ld.lld-19 ld.lld)
if(PLACEWRIGHT_LLD AND NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_link_options(-fuse-ld=lld)
endif()

# Libraries that folders name; looked for here so that every folder sees them.
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(Threads REQUIRED)

add_compile_options(-Wall -Wextra)
if(PLACEWRIGHT_WERROR)
  add_compile_options(-Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # libstdc++ 12's own std::stable_sort calls what it declares deprecated; GCC keeps looking for such calls of ours.
  add_compile_options(-Wno-deprecated-declarations)
endif()
# Paths that reach users (origins, plans, messages) must not depend on where the sources stand.
add_compile_options(-fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=)
if(PLACEWRIGHT_SANITIZE)
  add_compile_options(-fsanitize=${PLACEWRIGHT_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${PLACEWRIGHT_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-maybe-uninitialized)  # GCC sees ghosts in instrumented code, and says so in its manual
  endif()
endif()

# Standard headers are a third of what compiling a file of ours costs: precompiled once, for all folders. Where ccache is
# at work they are not: a precompiled header belongs to one build folder, and nothing of a shared cache would be found.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND (NOT PLACEWRIGHT_CCACHE OR DEFINED ENV{CCACHE_DISABLE}))
  set(precompile_by_default ON)
else()
  set(precompile_by_default OFF)
endif()
option(PLACEWRIGHT_PRECOMPILED_HEADERS "Precompile standard headers (GCC without ccache)" ${precompile_by_default})
set(PLACEWRIGHT_STANDARD_HEADERS <algorithm> <array> <cmath> <cstdint> <functional> <limits> <map> <memory> <numeric>
  <optional> <set> <span> <string> <string_view> <utility> <variant> <vector> <fmt/core.h>)
if(PLACEWRIGHT_PRECOMPILED_HEADERS)
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/standard_headers.cc CONTENT "")
  foreach(kind folders programs)
    add_library(placewright_headers_of_${kind} OBJECT ${CMAKE_BINARY_DIR}/standard_headers.cc)
    target_link_libraries(placewright_headers_of_${kind} PRIVATE fmt::fmt)
    target_precompile_headers(placewright_headers_of_${kind} PRIVATE ${PLACEWRIGHT_STANDARD_HEADERS})
  endforeach()
  # Compiled as programs are. A third of the tool's files write JSON.
  find_package(nlohmann_json REQUIRED)
  target_link_libraries(placewright_headers_of_programs PRIVATE nlohmann_json::nlohmann_json)
  target_precompile_headers(placewright_headers_of_programs PRIVATE <nlohmann/json.hpp>)
  set_target_properties(placewright_headers_of_programs PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(placewright_headers_of_programs PRIVATE -fPIE $<$<CONFIG:Release>:-O1>)
endif()

# placewright_precompile(TARGET folders|programs)
function(placewright_precompile TARGET KIND)
  if(PLACEWRIGHT_PRECOMPILED_HEADERS)
    target_precompile_headers(${TARGET} REUSE_FROM placewright_headers_of_${KIND})
  endif()
endfunction()

# placewright_folder(NAME [DEPENDS folder ...] [LIBRARIES target ...]): the sources below the current folder (but for
# those in EXCLUDE's subfolders) as target placewright_NAME. A folder sees only the headers of the folders it depends on.
function(placewright_folder NAME)
  cmake_parse_arguments(ARG "" "" "DEPENDS;LIBRARIES;EXCLUDE" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/include/*.h)
  foreach(folder IN LISTS ARG_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX "^${CMAKE_CURRENT_SOURCE_DIR}/${folder}/")
  endforeach()
  if(NOT sources)
    file(TOUCH ${CMAKE_CURRENT_BINARY_DIR}/empty.cc)
    set(sources ${CMAKE_CURRENT_BINARY_DIR}/empty.cc)
  endif()
  add_library(placewright_${NAME} OBJECT ${sources})
  target_sources(placewright_${NAME} PUBLIC FILE_SET HEADERS
    BASE_DIRS ${CMAKE_CURRENT_SOURCE_DIR}/include FILES ${headers})
  target_include_directories(placewright_${NAME} PRIVATE ${PROJECT_SOURCE_DIR}/${NAME})
  foreach(folder IN LISTS ARG_DEPENDS)
    # Usage requirements only: the objects themselves are linked once, into libplacewright.
    target_include_directories(placewright_${NAME} PUBLIC
      $<TARGET_PROPERTY:placewright_${folder},INTERFACE_INCLUDE_DIRECTORIES>)
  endforeach()
  target_link_libraries(placewright_${NAME} PUBLIC ${ARG_LIBRARIES})
  placewright_precompile(placewright_${NAME} folders)
endfunction()
