/* One IMDSv1 read, answer awaited and thrown away: fetch TARGET [SECONDS-TO-LIVE-ON]. Needs no library at run time. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

int main(int argc, char **argv) {
	struct sockaddr_in metadata = { .sin_family = AF_INET, .sin_port = htons(80) };
	struct timeval patience = { .tv_sec = 5 };
	char bytes[2048];
	int length, connection;
	ssize_t got, total = 0;

	if (argc < 2 || inet_pton(AF_INET, "169.254.169.254", &metadata.sin_addr) != 1)
		return 2;
	length = snprintf(bytes, sizeof bytes,
		"GET %s HTTP/1.1\r\nHost: 169.254.169.254\r\nConnection: close\r\n\r\n", argv[1]);
	if (length < 0 || (size_t)length >= sizeof bytes)
		return 2;
	connection = socket(AF_INET, SOCK_STREAM, 0);
	if (connection < 0)
		return 1;
	setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	if (connect(connection, (struct sockaddr *)&metadata, sizeof metadata) != 0)
		return 1;
	if (write(connection, bytes, (size_t)length) != length)
		return 1;
	while ((got = read(connection, bytes, sizeof bytes)) > 0)
		total += got;
	close(connection);
	if (argc > 2)
		usleep((useconds_t)(atof(argv[2]) * 1e6));
	return got == 0 && total > 0 ? 0 : 1;
}
