/* PID 1 of a pod's sandbox: holds the namespaces open, and reaps what is orphaned to it. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void on_signal(int number) {
    if (number == SIGCHLD) {
        while (waitpid(-1, 0, WNOHANG) > 0) {
        }
    } else {
        _exit(0);
    }
}

int main(void) {
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGCHLD, on_signal);
    for (;;) {
        pause();
    }
}
