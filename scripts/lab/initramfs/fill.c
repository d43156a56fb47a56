/* Fills a directory with many small files: each costs the kernel an inode, a dentry and a few objects more. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char name[128];
	long count, i;
	int fd;

	if (argc != 3)
		return 2;
	count = atol(argv[2]);
	mkdir(argv[1], 0755);
	for (i = 0; i < count; i++) {
		if (i % 1000 == 0) {
			snprintf(name, sizeof(name), "%s/%ld", argv[1], i / 1000);
			mkdir(name, 0755);
		}
		snprintf(name, sizeof(name), "%s/%ld/%ld", argv[1], i / 1000, i);
		fd = open(name, O_CREAT | O_WRONLY, 0644);
		if (fd < 0) {
			perror(name);
			return 1;
		}
		close(fd);
		if (i % 100000 == 0)
			printf("LAB: %ld files\n", i), fflush(stdout);
	}
	return 0;
}
