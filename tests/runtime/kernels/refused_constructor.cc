extern "C" {
int value;
__attribute__((constructor)) void at_load() { value = 1; }
int read_value() { return value; }
}
