/* A C extension module that uses hangup by itself: test_one_manager.py asks it what it sees. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <hangup.h>

static PyObject *shared_id(PyObject *module, PyObject *nothing)
{
    (void)module;
    (void)nothing;
    hangup_manager *manager = hangup_manager_shared();
    uint64_t id = hangup_manager_id(manager);
    hangup_manager_free(manager);
    return PyLong_FromUnsignedLongLong(id);
}

/* get(url) -> (status, connection, reused), over the shared manager. */
static PyObject *get(PyObject *module, PyObject *url)
{
    (void)module;
    const char *text = PyUnicode_AsUTF8(url);
    if (text == NULL)
        return NULL;
    hangup_client *client = NULL;
    hangup_response *response = NULL;
    const uint8_t *data;
    size_t size;
    hangup_status status = hangup_client_new(NULL, &client, NULL);
    if (status == HANGUP_OK)
        status = hangup_client_get(client, text, 5000, &response, NULL);
    if (status == HANGUP_OK)
        status = hangup_response_read_all(response, SIZE_MAX, &data, &size, NULL);
    PyObject *answer = NULL;
    if (status == HANGUP_OK)
        answer = Py_BuildValue("iKi", (int)hangup_response_status_code(response),
                               (unsigned long long)hangup_response_connection_id(response),
                               (int)hangup_response_reused(response));
    else
        PyErr_SetString(PyExc_RuntimeError, hangup_status_text(status));
    hangup_response_free(response);
    hangup_client_free(client);
    return answer;
}

static PyMethodDef methods[] = {
    {"shared_id", shared_id, METH_NOARGS, NULL},
    {"get", get, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "c_extension", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_c_extension(void)
{
    return PyModule_Create(&module);
}
