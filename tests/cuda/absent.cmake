# absent.cmake - tests that configuring without nvcc, or with an nvcc that does not work, builds for the CPU only and
# prints a message, and that it is an error with LURCHER_CUDA=ON. An installed nvcc is hidden from CMake's search.
#
#   cmake -DSOURCE=DIR -DBINARY=DIR -P absent.cmake
find_program(nvcc nvcc)
set(hidden /usr/local/cuda/bin /usr/local/bin)
if(nvcc)
  get_filename_component(folder ${nvcc} DIRECTORY)
  list(APPEND hidden ${folder})
endif()

function(configure cuda expected)
  execute_process(
    COMMAND ${CMAKE_COMMAND} -S ${SOURCE} -B ${BINARY} "-DCMAKE_IGNORE_PATH=${hidden}" -DLURCHER_CUDA=${cuda} ${ARGN}
    OUTPUT_VARIABLE said ERROR_VARIABLE said RESULT_VARIABLE failed)
  if(NOT said MATCHES "${expected}" OR (failed AND cuda STREQUAL AUTO) OR (NOT failed AND cuda STREQUAL ON))
    message(FATAL_ERROR "LURCHER_CUDA=${cuda} without nvcc (${failed}): ${said}")
  endif()
endfunction()
file(REMOVE_RECURSE ${BINARY})
configure(AUTO "CUDA: no working nvcc: building for the CPU only")
configure(ON "no working nvcc")
file(REMOVE_RECURSE ${BINARY})
file(WRITE ${BINARY}_nvcc/nvcc "#!/bin/sh\necho 'unsupported GNU version!' >&2\nexit 1\n")
execute_process(COMMAND chmod +x ${BINARY}_nvcc/nvcc)
configure(AUTO "CUDA: no working nvcc: building for the CPU only" -DNVCC=${BINARY}_nvcc/nvcc)
