/*
 * A steady load on the metadata service, paced so that it takes little of the machine:
 * load FIRST CALLS PER_SECOND CALLS_PER_CONNECTION self|child
 *
 * Each call asks for TARGET?n=NUMBER without a token, numbers from FIRST on, and reads the whole answer. The last
 * call of a connection asks the service to close it. `child`: each connection is made by a process of its own.
 * Prints one line a call, "number pid status", status 0 for an answer. Ends by itself after TIME_LIMIT_S.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TARGET "/latest/meta-data/instance-id"
#define TIME_LIMIT_S 120
#define ANSWER_TIMEOUT_S 5
#define ANSWER_BYTES 8192

static int connected(void)
{
	struct sockaddr_in metadata = { .sin_family = AF_INET, .sin_port = htons(80) };
	struct timeval patience = { .tv_sec = ANSWER_TIMEOUT_S };
	int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, "169.254.169.254", &metadata.sin_addr);
	setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (connect(connection, (struct sockaddr *)&metadata, sizeof metadata) == 0)
		return connection;
	close(connection);
	return -1;
}

/* Tells whether `answer` holds a whole answer with status 200 and a length. */
static int is_whole(const char *answer, size_t bytes)
{
	const char *body = strstr(answer, "\r\n\r\n");
	const char *length = strcasestr(answer, "\r\nContent-Length:");

	if (body == NULL || length == NULL || length > body || strncmp(answer, "HTTP/1.1 200", 12) != 0)
		return 0;
	return bytes >= (size_t)(body + 4 - answer) + (size_t)atol(length + 17);
}

static int call(int connection, long number, int last)
{
	static char answer[ANSWER_BYTES + 1];
	char request[512];
	size_t have = 0;
	ssize_t got;
	int length = snprintf(request, sizeof request, "GET " TARGET "?n=%ld HTTP/1.1\r\nHost: 169.254.169.254\r\n%s\r\n",
			      number, last ? "Connection: close\r\n" : "");

	if (send(connection, request, (size_t)length, MSG_NOSIGNAL) != length)
		return 1;
	for (;;) {
		answer[have] = '\0';
		if (!last && is_whole(answer, have))
			return 0;
		got = recv(connection, answer + have, ANSWER_BYTES - have, 0);
		if (got <= 0)
			return got == 0 && last && is_whole(answer, have) ? 0 : 1;
		have += (size_t)got;
	}
}

static void connection_of(long first, long calls)
{
	int connection = connected();

	for (long i = 0; i < calls; i++) {
		int status = connection < 0 ? 1 : call(connection, first + i, i + 1 == calls);

		printf("%ld %d %d\n", first + i, getpid(), status);
	}
	if (connection >= 0)
		close(connection);
	fflush(stdout);
}

static void wait_until(const struct timespec *begin, double seconds)
{
	struct timespec at = *begin;

	at.tv_sec += (time_t)seconds;
	at.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
	if (at.tv_nsec >= 1000000000L) {
		at.tv_sec++;
		at.tv_nsec -= 1000000000L;
	}
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0)
		;
}

int main(int argc, char **argv)
{
	struct timespec begin;
	long first, calls, per_connection, done = 0;
	double per_second;
	int as_child;

	if (argc != 6)
		return 2;
	first = atol(argv[1]);
	calls = atol(argv[2]);
	per_second = atof(argv[3]);
	per_connection = atol(argv[4]);
	as_child = strcmp(argv[5], "child") == 0;
	if (calls < 1 || per_second <= 0 || per_connection < 1)
		return 2;
	alarm(TIME_LIMIT_S);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	while (done < calls) {
		long now = calls - done < per_connection ? calls - done : per_connection;
		int status;

		wait_until(&begin, (double)done / per_second);
		if (!as_child) {
			connection_of(first + done, now);
		} else {
			pid_t pid = fork();

			if (pid == 0) {
				connection_of(first + done, now);
				_exit(0);
			}
			if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
				return 1;
		}
		done += now;
	}
	return 0;
}
