extern "C" int system(const char*);
extern "C" int call_system() { return system("true"); }
