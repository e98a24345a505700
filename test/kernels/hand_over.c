/*
 * Connects to the metadata service, and lets a child process send the request. Prints the pids of both.
 * Usage: hand_over PATH
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(80)};
	char request[512];
	int connection = socket(AF_INET, SOCK_STREAM, 0);
	pid_t child;

	if (argc != 2)
		return 2;
	inet_pton(AF_INET, "169.254.169.254", &to.sin_addr);
	if (connect(connection, (struct sockaddr *)&to, sizeof(to)))
		return 1;
	snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\n\r\n", argv[1]);
	child = fork();
	if (child == 0) {
		return write(connection, request, strlen(request)) < 0;
	}
	if (waitpid(child, 0, 0) < 0)
		return 1;
	printf("%d %d\n", getpid(), child);
	return 0;
}
