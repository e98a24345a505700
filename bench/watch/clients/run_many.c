/*
 * Runs a program COUNT times, up to AT_ONCE of them at the same time: run_many FIRST COUNT AT_ONCE PROGRAM ARGUMENT…
 *
 * `{}` in an argument is the run's number, from FIRST on. Prints one line a run, "number pid status", status 128 + N
 * where signal N ended it. A program of its own, because a shell or Node takes longer to start a program than the
 * program runs. Ends by itself after TIME_LIMIT_S.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_RUNS 100000
#define MAX_ARGUMENTS 64
#define MAX_ARGUMENT_BYTES 1024
#define TIME_LIMIT_S 120

static pid_t pids[MAX_RUNS];

static void fill_in(char *to, const char *argument, long number)
{
	const char *mark = strstr(argument, "{}");

	if (mark == NULL)
		snprintf(to, MAX_ARGUMENT_BYTES, "%s", argument);
	else
		snprintf(to, MAX_ARGUMENT_BYTES, "%.*s%ld%s", (int)(mark - argument), argument, number, mark + 2);
}

static pid_t start(char **program, long number, int nowhere)
{
	static char texts[MAX_ARGUMENTS][MAX_ARGUMENT_BYTES];
	char *arguments[MAX_ARGUMENTS + 1];
	int count = 0;
	pid_t pid;

	while (program[count] != NULL && count < MAX_ARGUMENTS) {
		fill_in(texts[count], program[count], number);
		arguments[count] = texts[count];
		count++;
	}
	arguments[count] = NULL;
	pid = fork();
	if (pid == 0) {
		dup2(nowhere, 1);
		execv(arguments[0], arguments);
		_exit(127);
	}
	return pid;
}

static int reap(long first, long started)
{
	int status;
	pid_t pid;

	do
		pid = wait(&status);
	while (pid < 0 && errno == EINTR);
	for (long i = started - 1; pid > 0 && i >= 0; i--) {
		if (pids[i] != pid)
			continue;
		pids[i] = 0;
		printf("%ld %d %d\n", first + i, pid,
		       WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	long first, count, at_once, started = 0, running = 0;
	int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (argc < 5 || nowhere < 0)
		return 2;
	first = atol(argv[1]);
	count = atol(argv[2]);
	at_once = atol(argv[3]);
	if (count < 1 || count > MAX_RUNS || at_once < 1)
		return 2;
	alarm(TIME_LIMIT_S);
	while (started < count || running > 0) {
		if (started < count && running < at_once) {
			pids[started] = start(argv + 4, first + started, nowhere);
			if (pids[started] < 0)
				return 1;
			started++;
			running++;
		} else if (reap(first, started)) {
			running--;
		} else {
			return 1;
		}
	}
	return 0;
}
