extern "C" {
thread_local int counter;
int count() { return ++counter; }
}
