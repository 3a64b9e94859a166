/* A C program with a libhangup of its own that embeds Python: test_one_manager.py reads what it prints. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <inttypes.h>
#include <stdio.h>

#include <hangup.h>

static int in_python(const char *url)
{
    char program[1024];
    snprintf(program, sizeof program,
             "import hangup\n"
             "print('id in Python', hangup.shared_manager().id, sep='=')\n"
             "print('connection in Python', hangup.get('%s').connection, sep='=')\n"
             "print('library', hangup.get_library(), sep='=', flush=True)\n",
             url);
    Py_Initialize();
    int failed = PyRun_SimpleString(program);
    return Py_FinalizeEx() < 0 || failed;
}

int main(int count, char **arguments)
{
    if (count != 2)
        return 2;
    hangup_manager *manager = hangup_manager_shared();
    hangup_client *client = NULL;
    hangup_response *response = NULL;
    const uint8_t *data;
    size_t size;
    printf("id in C=%" PRIu64 "\n", hangup_manager_id(manager));
    hangup_status status = hangup_client_new(manager, &client, NULL);
    if (status == HANGUP_OK)
        status = hangup_client_get(client, arguments[1], 5000, &response, NULL);
    if (status == HANGUP_OK)
        status = hangup_response_read_all(response, SIZE_MAX, &data, &size, NULL);
    printf("connection in C=%" PRIu64 "\n", hangup_response_connection_id(response));
    fflush(stdout);
    hangup_response_free(response);
    int failed = in_python(arguments[1]);
    hangup_client_free(client);
    hangup_manager_free(manager);
    return status != HANGUP_OK || failed;
}
