# gcc compiles and links a program that runs; make builds a small project and rebuilds what changed.
# timeout: 120
dir=$(mktemp -d /tmp/guest-test-XXXXXX); trap 'rm -rf "$dir"' EXIT; cd "$dir" || exit 1
cat > hello.c <<'END'
#include <math.h>
#include <stdio.h>
int main(int argc, char **argv) { printf("hello %s %.3f\n", argc > 1 ? argv[1] : "nobody", sqrt(2)); return argc; }
END
gcc -O2 -Wall -o hello hello.c -lm && ./hello world; echo "status $?"
gcc -static -o hello_static hello.c -lm && ./hello_static; echo "status $?"
gcc -E hello.c | grep -c 'int main'
echo 'int broken( {' > broken.c; gcc -c broken.c 2> /dev/null; echo "broken $?"
printf 'int twice(int n) { return 2 * n; }\n' > twice.c
printf '#include <stdio.h>\nint twice(int);\nint main(void) { printf("%%d\\n", twice(21)); }\n' > main.c
printf 'prog: main.o twice.o\n\t$(CC) -o $@ $^\n%%.o: %%.c\n\t$(CC) -c -o $@ $<\nclean:\n\trm -f *.o prog\n.PHONY: clean\n' > Makefile
make -j2 CC=gcc > log 2>&1; echo "make $?"; sort log; ./prog
make; sleep 0.02; touch twice.c; make CC=gcc; make clean; ls
