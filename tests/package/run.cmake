# cmake -DBUILD=... -DCOMPILER=... -P run.cmake: installs BUILD below a folder of its own, configures and builds the
# project beside this file against it, and runs it.
set(work ${BUILD}/package_test)
file(REMOVE_RECURSE ${work})
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "failed (${status}): ${ARGN}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${work}/installed)
run(${CMAKE_COMMAND} -G Ninja -S ${CMAKE_CURRENT_LIST_DIR} -B ${work}/build -DCMAKE_PREFIX_PATH=${work}/installed
  -DCMAKE_CXX_COMPILER=${COMPILER})
run(${CMAKE_COMMAND} --build ${work}/build)
run(${work}/build/consumer)
if(NOT output STREQUAL "the loss fell\n")
  message(FATAL_ERROR "the consumer printed '${output}', expected 'the loss fell'")
endif()

# Shipped machines are found where they are installed.
if(EXISTS ${work}/installed/bin/placewright)
  run(${work}/installed/bin/placewright machine --list)
  if(NOT output MATCHES "h200\n")
    message(FATAL_ERROR "the installed tool lists the machines '${output}', expected h200 among them")
  endif()
  run(${work}/installed/bin/placewright machine h200)
endif()
