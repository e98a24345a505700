/* Connects, writes one IMDSv1 request and exits without waiting for the answer: one_shot TARGET. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv) {
	struct sockaddr_in metadata = { .sin_family = AF_INET, .sin_port = htons(80) };
	char request[512];
	int length, connection;

	if (argc != 2 || inet_pton(AF_INET, "169.254.169.254", &metadata.sin_addr) != 1)
		return 2;
	length = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\n\r\n", argv[1]);
	if (length < 0 || (size_t)length >= sizeof request)
		return 2;
	connection = socket(AF_INET, SOCK_STREAM, 0);
	if (connection < 0 || connect(connection, (struct sockaddr *)&metadata, sizeof metadata) != 0)
		return 1;
	return write(connection, request, (size_t)length) == length ? 0 : 1;
}
