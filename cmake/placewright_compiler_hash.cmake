# cmake -DROOT=... -DVERSION=... -DOUTPUT=... -P this: writes what plans say of the compiler that made them. The hash is of
# the sources that decide, so that it is the same wherever they are built.
set(texts "")
foreach(folder base ir passes codegen frontend)
  file(GLOB_RECURSE files RELATIVE ${ROOT} ${ROOT}/${folder}/*.cc ${ROOT}/${folder}/*.h ${ROOT}/${folder}/*.def)
  list(SORT files)
  foreach(file IN LISTS files)
    file(SHA256 ${ROOT}/${file} hash)
    string(APPEND texts "${file} ${hash}\n")
  endforeach()
endforeach()
string(MD5 hash "${texts}")
file(WRITE ${OUTPUT} "#include \"placewright/plan_files.h\"

namespace placewright {

std::string_view compiler_version() { return \"${VERSION}\"; }
std::string_view compiler_hash() { return \"${hash}\"; }

}  // namespace placewright
")
